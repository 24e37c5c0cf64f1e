# One libFuzzer program per target: build/fuzz/<target>_fuzz, with its corpus in tests/fuzz/corpus/<target>. Run by
# scripts/fuzz.sh (`make fuzz`), which finds them by name.
function(reqtrail_fuzz target)
  add_executable(${target}_fuzz tests/fuzz/${target}_fuzz.cpp)
  target_link_libraries(${target}_fuzz PRIVATE ${ARGN})
  target_link_options(${target}_fuzz PRIVATE -fsanitize=fuzzer)
endfunction()

reqtrail_fuzz(accept reqtrail_metrics)
reqtrail_fuzz(incoming_id reqtrail_core)
reqtrail_fuzz(json_text reqtrail_core)
reqtrail_fuzz(request_id reqtrail_core)
reqtrail_fuzz(saved_file reqtrail_flags)
target_sources(saved_file_fuzz PRIVATE
  pg_extension/saved_file.cpp pg_extension/shard.cpp pg_extension/top_statements.cpp)
reqtrail_fuzz(sql_comment reqtrail_core)
