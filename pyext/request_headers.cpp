#include "pyext/request_headers.h"

#include <cstring>
#include <string_view>

#include "core/id_generator.h"
#include "core/request_id.h"
#include "pyext/asgi_names.h"
#include "pyext/instrument_fault.h"

namespace reqtrail {
namespace {

std::string_view BytesView(PyObject* bytes) noexcept {
  return {PyBytes_AS_STRING(bytes), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes))};
}

// ASGI says that names are lower case; a server or an application that does not comply is read all the same.
bool IsHeader(PyObject* name, std::string_view wanted) noexcept {
  if (!PyBytes_Check(name)) return false;
  const std::string_view given = BytesView(name);
  if (given.size() != wanted.size()) return false;
  if (std::memcmp(given.data(), wanted.data(), wanted.size()) == 0) return true;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const char byte = given[i];
    if ((byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte + ('a' - 'A')) : byte) != wanted[i]) return false;
  }
  return true;
}

// The two items of a header pair, borrowed; false for what is no pair.
bool SplitPair(PyObject* pair, PyObject** name, PyObject** value) noexcept {
  if (PyTuple_Check(pair) && PyTuple_GET_SIZE(pair) == 2) {
    *name = PyTuple_GET_ITEM(pair, 0);
    *value = PyTuple_GET_ITEM(pair, 1);
    return true;
  }
  if (PyList_Check(pair) && PyList_GET_SIZE(pair) == 2) {
    *name = PyList_GET_ITEM(pair, 0);
    *value = PyList_GET_ITEM(pair, 1);
    return true;
  }
  return false;
}

PyObject* AsciiText(std::string_view text) noexcept {
  PyObject* made = PyUnicode_New(static_cast<Py_ssize_t>(text.size()), 127);
  if (made != nullptr) std::memcpy(PyUnicode_1BYTE_DATA(made), text.data(), text.size());
  return made;
}

bool TakeGiven(PyObject* headers, std::string_view wanted, TakenId* taken) noexcept {
  if (headers == nullptr || !(PyList_Check(headers) || PyTuple_Check(headers))) return true;
  PyObject* given = nullptr;
  unsigned found = 0;
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(headers);
  PyObject** pairs = PySequence_Fast_ITEMS(headers);
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* name = nullptr;
    PyObject* value = nullptr;
    if (SplitPair(pairs[i], &name, &value) && IsHeader(name, wanted)) {
      given = value;
      ++found;
    }
  }
  if (found == 0) return true;
  if (found > 1 || !PyBytes_CheckExact(given) || !IsRequestId(BytesView(given))) {
    taken->rejected = true;
    return true;
  }
  taken->text = AsciiText(BytesView(given));
  if (taken->text == nullptr) return false;
  taken->bytes = Py_NewRef(given);
  return true;
}

// Leaves `taken` empty when the generator fails or what it gives is no id.
void TakeGenerated(PyObject* generator, TakenId* taken) noexcept {
  PyObject* made = PyObject_CallNoArgs(generator);
  if (made == nullptr) {
    ReportFault("request id generator");
    return;
  }
  if (!PyUnicode_Check(made) || !PyUnicode_IS_ASCII(made)) {
    PyErr_Format(PyExc_TypeError, "the generator must return a request id as a str of ASCII characters, not %.100s",
                 Py_TYPE(made)->tp_name);
  } else {
    const std::string_view text(reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(made)),
                                static_cast<std::size_t>(PyUnicode_GET_LENGTH(made)));
    const RequestIdFault fault = CheckRequestId(text);
    if (fault == RequestIdFault::kNone) {
      // AsciiText: a subclass of str could say one thing here and another in a log line.
      taken->text = PyUnicode_CheckExact(made) ? Py_NewRef(made) : AsciiText(text);
      taken->bytes = PyBytes_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
    } else {
      PyErr_Format(PyExc_ValueError, "the generator returned what is no request id: %s", Describe(fault));
    }
  }
  Py_DECREF(made);
  if (taken->text == nullptr || taken->bytes == nullptr) {
    Py_CLEAR(taken->text);
    Py_CLEAR(taken->bytes);
    ReportFault("request id generator");
  }
}

PyObject* HeadersWithId(PyObject* headers, PyObject* header_name, PyObject* id) {
  PyObject* given = headers == nullptr ? PyTuple_New(0) : PySequence_Fast(headers, "headers must be an iterable");
  if (given == nullptr) return nullptr;
  const std::string_view replaced = BytesView(header_name);
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(given);
  PyObject** pairs = PySequence_Fast_ITEMS(given);
  Py_ssize_t kept = 0;
  PyObject* list = PyList_New(count + 1);
  PyObject* ours = list == nullptr ? nullptr : PyTuple_Pack(2, header_name, id);
  if (ours == nullptr) {
    Py_XDECREF(list);
    Py_DECREF(given);
    return nullptr;
  }
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* name = nullptr;
    PyObject* value = nullptr;
    if (SplitPair(pairs[i], &name, &value) && IsHeader(name, replaced)) continue;
    PyList_SET_ITEM(list, kept++, Py_NewRef(pairs[i]));
  }
  PyList_SET_ITEM(list, kept++, ours);
  Py_SET_SIZE(list, kept);  // the slots behind it are still NULL
  Py_DECREF(given);
  return list;
}

}  // namespace

bool TakeRequestId(PyObject* headers, PyObject* header_name, PyObject* generator, TakenId* taken) {
  if (!TakeGiven(headers, BytesView(header_name), taken)) return false;
  if (taken->text == nullptr && generator != nullptr) TakeGenerated(generator, taken);
  if (taken->text != nullptr) return true;
  const UuidText uuid = GenerateUuid4();
  taken->text = AsciiText({uuid.data(), uuid.size()});
  taken->bytes = PyBytes_FromStringAndSize(uuid.data(), uuid.size());
  return taken->text != nullptr && taken->bytes != nullptr;
}

PyObject* WithRequestIdHeader(PyObject* message, PyObject* header_name, PyObject* id) {
  PyObject* headers = DictItem(message, Names().headers);
  PyObject* list = HeadersWithId(headers, header_name, id);
  if (list == nullptr) return nullptr;
  PyObject* copy = PyDict_Copy(message);
  if (copy != nullptr && PyDict_SetItem(copy, Names().headers, list) < 0) Py_CLEAR(copy);
  Py_DECREF(list);
  return copy;
}

}  // namespace reqtrail
