#pragma once

#include <Python.h>

#include "metrics/segment.h"

namespace reqtrail {

/// The segment inside a `reqtrail._native.Segment`; it lives as long as that object. nullptr with TypeError set for
/// anything else. REQUIRES: the GIL.
[[nodiscard]] Segment* SegmentOf(PyObject* object);

}  // namespace reqtrail
