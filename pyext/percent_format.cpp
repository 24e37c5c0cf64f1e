#include "pyext/percent_format.h"

#include <string_view>

#include "core/json_text.h"
#include "pyext/ascii_text.h"

namespace reqtrail {
namespace {

bool AppendArgument(TextBuffer& out, PyObject* argument, char conversion) {
  if (conversion == 's' && PyUnicode_CheckExact(argument) && PyUnicode_IS_COMPACT_ASCII(argument)) {
    out.Append(AsciiView(argument));
    return true;
  }
  if ((conversion != 's' && conversion != 'd') || !PyLong_CheckExact(argument)) return false;
  int overflow = 0;
  const long long number = PyLong_AsLongLongAndOverflow(argument, &overflow);
  if (overflow != 0) return false;
  AppendJsonNumber(out, number);
  return true;
}

}  // namespace

bool AppendPercentFormat(TextBuffer& out, PyObject* format, PyObject* args) {
  if (!PyUnicode_IS_COMPACT_ASCII(format)) return false;
  std::string_view rest = AsciiView(format);
  Py_ssize_t used = 0;
  for (std::size_t percent = rest.find('%'); percent != std::string_view::npos; percent = rest.find('%')) {
    if (percent + 1 == rest.size() || used == PyTuple_GET_SIZE(args)) return false;
    out.Append(rest.substr(0, percent));
    if (!AppendArgument(out, PyTuple_GET_ITEM(args, used++), rest[percent + 1])) return false;
    rest.remove_prefix(percent + 2);
  }
  out.Append(rest);
  return used == PyTuple_GET_SIZE(args);
}

}  // namespace reqtrail
