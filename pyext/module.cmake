# The modules of the Python package. _metrics_server is there only where civetweb is.
find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
find_package(pybind11 3.0 CONFIG REQUIRED)

pybind11_add_module(_native
  pyext/access_log.cpp
  pyext/asgi_call.cpp
  pyext/asgi_middleware.cpp
  pyext/asgi_module.cpp
  pyext/asgi_names.cpp
  pyext/asgi_send.cpp
  pyext/awaitable.cpp
  pyext/begin_in_flight.cpp
  pyext/begin_methods.cpp
  pyext/begin_rider.cpp
  pyext/direct_log.cpp
  pyext/driver_method.cpp
  pyext/ended_thread.cpp
  pyext/http_metrics.cpp
  pyext/id_policy.cpp
  pyext/instrument_fault.cpp
  pyext/json_log_formatter.cpp
  pyext/json_log_handler.cpp
  pyext/json_value.cpp
  pyext/log_line.cpp
  pyext/log_sampling.cpp
  pyext/log_sink_bindings.cpp
  pyext/metric_arguments.cpp
  pyext/metric_object.cpp
  pyext/metric_types.cpp
  pyext/metrics_module.cpp
  pyext/middleware_options.cpp
  pyext/module.cpp
  pyext/percent_format.cpp
  pyext/pool_counts.cpp
  pyext/pool_methods.cpp
  pyext/pool_place.cpp
  pyext/record_attributes.cpp
  pyext/request_context.cpp
  pyext/request_headers.cpp
  pyext/request_id_text.cpp
  pyext/request_logger.cpp
  pyext/request_recorder.cpp
  pyext/request_state.cpp
  pyext/route_series.cpp
  pyext/segment_object.cpp
  pyext/stack_temporary.cpp
  pyext/task_line.cpp
  worker_hooks/direct_send.cpp
  worker_hooks/followed_apps.cpp
  worker_hooks/task_hooks.cpp
  worker_hooks/task_metrics.cpp
  worker_hooks/task_names.cpp
  worker_hooks/task_request_id.cpp
  worker_hooks/task_traceparent.cpp)
target_link_libraries(_native PRIVATE reqtrail_metrics reqtrail_log_sinks)
target_compile_definitions(_native PRIVATE REQTRAIL_VERSION="${REQTRAIL_VERSION}")
# CPython's own macros (Py_RETURN_NONE, slot tables) convert between function pointers and void *.
# Calls of CPython go through the table of its addresses, not through a stub of their own: a request makes about a hundred.
target_compile_options(_native PRIVATE -Wno-pedantic -fno-plt)
install(TARGETS _native DESTINATION reqtrail)
add_custom_target(python_modules DEPENDS _native)

if(TARGET reqtrail_metrics_server)
  pybind11_add_module(_metrics_server pyext/metrics_server_module.cpp pyext/segment_object.cpp)
  target_link_libraries(_metrics_server PRIVATE reqtrail_metrics_server)
  install(TARGETS _metrics_server DESTINATION reqtrail)
  add_dependencies(python_modules _metrics_server)
endif()
