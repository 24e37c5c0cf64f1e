#include <Python.h>  // before Py_BUILD_CORE, under which it would declare what it does not export

#if PY_VERSION_HEX < 0x030B0000
#include <frameobject.h>
#elif PY_VERSION_HEX < 0x030E0000
#define Py_BUILD_CORE 1
#include <internal/pycore_frame.h>
#endif

#include "pyext/stack_temporary.h"

#include <cstdint>

namespace reqtrail {

#if PY_VERSION_HEX >= 0x030E0000

bool IsStackTemporary(PyObject* const* argument) noexcept {
  return PyUnstable_Object_IsUniqueReferencedTemporary(*argument) != 0;
}

#else
namespace {

struct ValueStack {
  PyObject* const* begin;
  int size;
};

#if PY_VERSION_HEX >= 0x030D0000
ValueStack StackOfCaller() noexcept {
  const _PyInterpreterFrame* frame = PyThreadState_Get()->current_frame;
  if (frame == nullptr || !PyCode_Check(frame->f_executable)) return {};
  const auto* code = reinterpret_cast<const PyCodeObject*>(frame->f_executable);
  return {.begin = frame->localsplus + code->co_nlocalsplus, .size = code->co_stacksize};
}
#elif PY_VERSION_HEX >= 0x030B0000
ValueStack StackOfCaller() noexcept {
  const _PyInterpreterFrame* frame = PyThreadState_Get()->cframe->current_frame;
  if (frame == nullptr) return {};
  return {.begin = frame->localsplus + frame->f_code->co_nlocalsplus, .size = frame->f_code->co_stacksize};
}
#else
ValueStack StackOfCaller() noexcept {
  const PyFrameObject* frame = PyThreadState_Get()->frame;
  if (frame == nullptr) return {};
  return {.begin = frame->f_valuestack, .size = frame->f_code->co_stacksize};
}
#endif

}  // namespace

bool IsStackTemporary(PyObject* const* argument) noexcept {
  if (Py_REFCNT(*argument) != 1) return false;
  const ValueStack stack = StackOfCaller();
  // Compared as numbers: `argument` may point anywhere.
  const auto begin = reinterpret_cast<std::uintptr_t>(stack.begin);
  const auto at = reinterpret_cast<std::uintptr_t>(argument);
  return at - begin < static_cast<std::uintptr_t>(stack.size) * sizeof(PyObject*);
}
#endif

}  // namespace reqtrail
