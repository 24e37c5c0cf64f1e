#pragma once

#include <Python.h>

namespace reqtrail {

/// Makes `handler` the Python callable (where: str, fault: BaseException | None) -> None that counts and logs a fault
/// of the instrument itself. Called once, when reqtrail's Python half is imported.
void SetFaultHandler(PyObject* handler) noexcept;

/// Takes the current Python error, if any, and hands it to the fault handler, so that a fault of the instrument never
/// reaches the request. `where` is a literal of a few words. Leaves no Python error set. REQUIRES: the GIL.
void ReportFault(const char* where) noexcept;

}  // namespace reqtrail
