#include "pyext/ended_thread.h"

#include <cxxabi.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>

namespace reqtrail {
namespace {

std::terminate_handler former_handler = nullptr;

[[noreturn]] void Stay() noexcept {
  for (;;) pause();
}

bool InterpreterEnds() noexcept {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsFinalizing() != 0;
#else
  return _Py_IsFinalizing() != 0;
#endif
}

[[noreturn]] void Terminate() noexcept {
  // An exception of C++ has a type; what CPython unwinds with has none.
  if (InterpreterEnds() && abi::__cxa_current_exception_type() == nullptr) Stay();
  if (former_handler != nullptr) former_handler();
  std::abort();
}

}  // namespace

void RestoreThread(PyThreadState* state) {
  try {
    PyEval_RestoreThread(state);
  } catch (const abi::__forced_unwind&) {
    Stay();
  }
}

void KeepEndedThreads() noexcept { former_handler = std::set_terminate(Terminate); }

}  // namespace reqtrail
