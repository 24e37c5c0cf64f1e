# pg_stat_requests.so for the PostgreSQL of PG_CONFIG: build/<preset>/pg_stat_requests.so. C++ without libstdc++.
find_program(PG_CONFIG pg_config REQUIRED)
foreach(what includedir-server pkglibdir version)
  execute_process(COMMAND ${PG_CONFIG} --${what} OUTPUT_VARIABLE PG_${what} OUTPUT_STRIP_TRAILING_WHITESPACE
                  COMMAND_ERROR_IS_FATAL ANY)
endforeach()
message(STATUS "pg_stat_requests: ${PG_version}, ${PG_includedir-server}")

add_library(pg_stat_requests MODULE
  core/sql_comment.cpp
  pg_extension/accumulator.cpp
  pg_extension/comment_id.cpp
  pg_extension/event_functions.cpp
  pg_extension/finished_request.cpp
  pg_extension/hooks.cpp
  pg_extension/log_lines.cpp
  pg_extension/module.cpp
  pg_extension/part.cpp
  pg_extension/pending_events.cpp
  pg_extension/request_functions.cpp
  pg_extension/restart.cpp
  pg_extension/ring.cpp
  pg_extension/saved_file.cpp
  pg_extension/set_statement.cpp
  pg_extension/settings.cpp
  pg_extension/shard.cpp
  pg_extension/shared_state.cpp
  pg_extension/slot.cpp
  pg_extension/status_functions.cpp
  pg_extension/top_statements.cpp)
set_target_properties(pg_stat_requests PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
target_compile_definitions(pg_stat_requests PRIVATE _GNU_SOURCE REQTRAIL_VERSION="${REQTRAIL_VERSION}")
target_include_directories(pg_stat_requests SYSTEM PRIVATE ${PG_includedir-server})
target_link_libraries(pg_stat_requests PRIVATE reqtrail_flags c gcc)
target_compile_options(pg_stat_requests PRIVATE
  -fno-exceptions -fno-rtti -fno-threadsafe-statics -fno-strict-aliasing -fwrapv -fno-omit-frame-pointer)
# The server provides the symbols that stay undefined; none of them may be of libstdc++.
target_link_options(pg_stat_requests PRIVATE -nodefaultlibs -Wl,--as-needed)
