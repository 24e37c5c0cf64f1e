#pragma once

#include <Python.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <unordered_map>

namespace reqtrail {

/// What the router left in the scope, and what is known of the response: enough to know the series without reading the
/// route's attributes. `method` is text of KnownMethod(), compared by address.
struct SeriesKey {
  PyObject* route;    ///< nullptr: not routed
  PyObject* context;  ///< FastAPI's effective route context, or nullptr
  const char* method;
  int status;  ///< 0: of a request that is still running

  bool operator==(const SeriesKey&) const = default;
};

struct SeriesKeyHash {
  std::size_t operator()(const SeriesKey& key) const noexcept {
    constexpr std::size_t kMix = 0x9E3779B97F4A7C15U;
    std::size_t hash = reinterpret_cast<std::uintptr_t>(key.route) >> 4U;
    hash = (hash * kMix) ^ (reinterpret_cast<std::uintptr_t>(key.context) >> 4U);
    hash = (hash * kMix) ^ reinterpret_cast<std::uintptr_t>(key.method);
    return (hash * kMix) ^ static_cast<std::size_t>(key.status);
  }
};

/// The series of the routes that were served. It owns references to the keys' objects, so that an address stays the
/// address of that route, and to the templates. REQUIRES: the GIL for every call.
template <typename Series>
class SeriesCache {
 public:
  struct Entry {
    Series series;
    PyObject* handler;  ///< str: the route template
  };

  /// The entry, valid until the next Put or Clear; nullptr if it is not there or its series were removed.
  [[nodiscard]] const Entry* Find(const SeriesKey& key) const noexcept {
    const auto found = entries_.find(key);
    return found == entries_.end() || found->second.series.WasRemoved() ? nullptr : &found->second;
  }

  /// Takes references of its own. An application that makes routes as it goes must not fill the memory: at the limit
  /// everything is forgotten.
  void Put(const SeriesKey& key, const Series& series, PyObject* handler) {
    if (entries_.size() >= kMaxEntries) Clear();
    const auto [entry, is_new] = entries_.emplace(key, Entry{.series = series, .handler = handler});
    entry->second.series = series;
    if (!is_new) return;
    Py_XINCREF(key.route);
    Py_XINCREF(key.context);
    Py_INCREF(handler);
  }

  void Clear() noexcept {
    std::unordered_map<SeriesKey, Entry, SeriesKeyHash> dropped;
    dropped.swap(entries_);  // a dropped route may run Python code that comes back here
    for (auto& [key, entry] : dropped) {
      Py_XDECREF(key.route);
      Py_XDECREF(key.context);
      Py_DECREF(entry.handler);
    }
  }

  int Traverse(visitproc visit, void* arg) const {
    for (const auto& [key, entry] : entries_) {
      Py_VISIT(key.route);
      Py_VISIT(key.context);
    }
    return 0;
  }

 private:
  static constexpr std::size_t kMaxEntries = 8192;

  std::unordered_map<SeriesKey, Entry, SeriesKeyHash> entries_;
};

}  // namespace reqtrail
