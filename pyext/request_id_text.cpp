#include "pyext/request_id_text.h"

#include <array>
#include <cstddef>
#include <cstring>

#include "core/request_id.h"
#include "pyext/ascii_text.h"
#include "pyext/request_context.h"

namespace reqtrail {
namespace {

bool IsAscii(PyObject* object) { return PyUnicode_Check(object) && PyUnicode_IS_ASCII(object); }

Py_ssize_t SizeOf(std::initializer_list<std::string_view> parts) noexcept {
  std::size_t size = 0;
  for (const std::string_view part : parts) size += part.size();
  return static_cast<Py_ssize_t>(size);
}

void Write(std::initializer_list<std::string_view> parts, char* end) noexcept {
  for (const std::string_view part : parts) {
    std::memcpy(end, part.data(), part.size());
    end += part.size();
  }
}

PyObject* RequestIdBetween(PyObject* /*module*/, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 2 || !IsAscii(args[0]) || !IsAscii(args[1])) {
    PyErr_SetString(PyExc_TypeError, "request_id_between() takes two str of ASCII");
    return nullptr;
  }
  const CheckedRequestId id;
  if (!id) Py_RETURN_NONE;
  return AsciiText({AsciiView(args[0]), id.text(), AsciiView(args[1])});
}

std::array<PyMethodDef, 2> functions{
    {{.ml_name = "request_id_between",
      .ml_meth = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(RequestIdBetween)),
      .ml_flags = METH_FASTCALL,
      .ml_doc = nullptr},
     {}}};

}  // namespace

[[gnu::hot]] CheckedRequestId::CheckedRequestId() noexcept : id_(CurrentRequestId()) {
  if (id_ != nullptr && !(IsAscii(id_) && IsRequestId(AsciiView(id_)))) Py_CLEAR(id_);
}

std::string_view CheckedRequestId::text() const noexcept { return AsciiView(id_); }

[[gnu::hot]] PyObject* AsciiText(std::initializer_list<std::string_view> parts) {
  PyObject* text = PyUnicode_New(SizeOf(parts), 127);
  if (text != nullptr) Write(parts, reinterpret_cast<char*>(PyUnicode_1BYTE_DATA(text)));
  return text;
}

[[gnu::hot]] PyObject* BytesText(std::initializer_list<std::string_view> parts) {
  PyObject* bytes = PyBytes_FromStringAndSize(nullptr, SizeOf(parts));
  if (bytes != nullptr) Write(parts, PyBytes_AS_STRING(bytes));
  return bytes;
}

bool AddRequestIdText(PyObject* module) { return PyModule_AddFunctions(module, functions.data()) == 0; }

}  // namespace reqtrail
