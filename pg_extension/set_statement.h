#pragma once

#include "pg_extension/pg.h"

/// `SET [LOCAL] pg_stat_requests.request_id = '...'`, which comes with every tagged transaction.
namespace reqtrail::set_statement {

/// Whether a statement sets, or resets, the request id.
[[nodiscard]] bool SetsRequestId(const Node* statement);

/// Does what the server would do for a statement that SetsRequestId, in a fifth of the instructions. Returns false, and
/// does nothing, for the forms that are rare: those are the server's. `at_top_level`: it was sent by the client as
/// such.
[[nodiscard]] bool Execute(const Node* statement, bool at_top_level);

}  // namespace reqtrail::set_statement
