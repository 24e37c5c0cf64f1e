#include "worker_hooks/followed_apps.h"

namespace reqtrail {
namespace {

// What a weak reference refers to; none if that is gone.
Owned Referent(PyObject* reference) noexcept {
#if PY_VERSION_HEX >= 0x030D0000
  PyObject* object = nullptr;
  if (PyWeakref_GetRef(reference, &object) < 0) PyErr_Clear();
  return Owned(object);
#else
  PyObject* object = PyWeakref_GetObject(reference);
  return Owned(object == nullptr || object == Py_None ? nullptr : Py_NewRef(object));
#endif
}

}  // namespace

bool FollowedApps::Has(PyObject* app) const noexcept {
  if (!references_) return false;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(references_.get()); ++i) {
    const Owned followed = Referent(PyList_GET_ITEM(references_.get(), i));
    if (!followed) continue;
    const int is_same = PyObject_RichCompareBool(followed.get(), app, Py_EQ);
    if (is_same > 0) return true;
    if (is_same < 0) PyErr_Clear();
  }
  return false;
}

bool FollowedApps::Add(PyObject* app) {
  if (!Remove(app)) return false;
  if (!references_) references_ = Owned(PyList_New(0));
  const Owned reference(PyWeakref_NewRef(app, nullptr));
  return references_ && reference && PyList_Append(references_.get(), reference.get()) == 0;
}

// Those that are gone are removed with it.
bool FollowedApps::Remove(PyObject* app) {
  if (!references_) return true;
  for (Py_ssize_t i = PyList_GET_SIZE(references_.get()); i-- > 0;) {
    const Owned followed = Referent(PyList_GET_ITEM(references_.get(), i));
    if ((!followed || followed.get() == app) && PySequence_DelItem(references_.get(), i) < 0) return false;
  }
  return true;
}

}  // namespace reqtrail
