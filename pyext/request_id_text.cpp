#include "pyext/request_id_text.h"

#include <array>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "core/request_id.h"
#include "pyext/ascii_text.h"
#include "pyext/request_context.h"

namespace reqtrail {
namespace {

bool IsAscii(PyObject* object) { return PyUnicode_Check(object) && PyUnicode_IS_ASCII(object); }

PyObject* Joined(std::string_view front, std::string_view id, std::string_view back) {
  PyObject* text = PyUnicode_New(static_cast<Py_ssize_t>(front.size() + id.size() + back.size()), 127);
  if (text == nullptr) return nullptr;
  char* end = static_cast<char*>(PyUnicode_DATA(text));
  for (const std::string_view part : {front, id, back}) {
    std::memcpy(end, part.data(), part.size());
    end += part.size();
  }
  return text;
}

PyObject* RequestIdBetween(PyObject* /*module*/, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 2 || !IsAscii(args[0]) || !IsAscii(args[1])) {
    PyErr_SetString(PyExc_TypeError, "request_id_between() takes two str of ASCII");
    return nullptr;
  }
  PyObject* id = CurrentRequestId();
  if (id == nullptr) Py_RETURN_NONE;
  PyObject* text = IsAscii(id) && IsRequestId(AsciiView(id))
                       ? Joined(AsciiView(args[0]), AsciiView(id), AsciiView(args[1]))
                       : Py_NewRef(Py_None);
  Py_DECREF(id);
  return text;
}

std::array<PyMethodDef, 2> functions{
    {{.ml_name = "request_id_between",
      .ml_meth = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(RequestIdBetween)),
      .ml_flags = METH_FASTCALL,
      .ml_doc = nullptr},
     {}}};

}  // namespace

bool AddRequestIdText(PyObject* module) { return PyModule_AddFunctions(module, functions.data()) == 0; }

}  // namespace reqtrail
