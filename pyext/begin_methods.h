#pragma once

#include <Python.h>

namespace reqtrail {

/// Adds to `module` what makes the methods by which the id rides on the BEGIN of each driver:
///
/// `asyncpg_execute(base, rider, begins, commented, errors, recover)` is Connection.execute. `begins`: a frozenset of
/// the commands that begin a transaction. When the one with an id fails with one of `errors`, the coroutine that
/// recover(connection, command, timeout, error) returns goes on in its place; None lets the error pass.
///
/// `psycopg_exec_command(base, rider, commented, generators, begin_in_pipeline, refused)` is _exec_command.
/// `generators` is psycopg's module. In a pipeline it goes on with the generator begin_in_pipeline(connection, command,
/// statement); when the server refuses the message, with refused(connection, command, results).
///
/// `commented` changes each command of asyncpg without arguments and each BEGIN of psycopg; or is None.
///
/// `psycopg2_execute(base, rider, execute, errors, again)` is cursor.execute without comments. What begins no
/// transaction goes to the driver, a str that begins one goes with the id in front, and the rest to `execute`. When the
/// message fails with one of `errors`, again(cursor, before, query, error) says whether the query is to be executed by
/// itself; and so it does, with None as the error, when there may have been nothing but the SET in the message.
///
/// False with a Python error set. REQUIRES: the GIL.
[[nodiscard]] bool AddBeginMethods(PyObject* module);

}  // namespace reqtrail
