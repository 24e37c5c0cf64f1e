#include "pg_extension/set_statement.h"

#include <cstring>

#include "pg_extension/settings.h"

namespace reqtrail::set_statement {
namespace {

// The value of a SET to one string; nullptr for every other form.
const char* OnlyString(const VariableSetStmt* set) {
  if (set->kind != VAR_SET_VALUE || list_length(set->args) != 1) return nullptr;
  const auto* argument = static_cast<const Node*>(linitial(set->args));
  if (!IsA(argument, A_Const)) return nullptr;
  const auto* constant = reinterpret_cast<const A_Const*>(argument);
  if (constant->isnull || nodeTag(&constant->val) != T_String) return nullptr;
  return strVal(&constant->val);
}

}  // namespace

bool SetsRequestId(const Node* statement) {
  if (!IsA(statement, VariableSetStmt)) return false;
  const auto* set = reinterpret_cast<const VariableSetStmt*>(statement);
  if (set->name == nullptr) return false;
  // The parser has lowered the name, unless it was quoted; comparing regardless of case is ten times as slow.
  return std::strcmp(set->name, kRequestIdSetting) == 0 || pg_strcasecmp(set->name, kRequestIdSetting) == 0;
}

bool Execute(const Node* statement, bool at_top_level) {
  const auto* set = reinterpret_cast<const VariableSetStmt*>(statement);
  const char* value = OnlyString(set);
  // Somebody who wants to be told of settings (sepgsql) is told by the server.
  if (value == nullptr || IsInParallelMode() || object_access_hook_str != nullptr) return false;
  if (set->is_local) WarnNoTransactionBlock(at_top_level, "SET LOCAL");
  static_cast<void>(set_config_option(kRequestIdSetting, value, PGC_USERSET, PGC_S_SESSION,
                                      set->is_local ? GUC_ACTION_LOCAL : GUC_ACTION_SET, true, 0, false));
  return true;
}

}  // namespace reqtrail::set_statement
