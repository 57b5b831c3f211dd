// The operations that libtorch runs on a thread, by name.
#include <ATen/record_function.h>

#include <memory>

namespace {

typedef void (*Sink)(void* context, const char* name);

thread_local Sink sink = nullptr;
thread_local void* sink_context = nullptr;

std::unique_ptr<at::ObserverContext> started(const at::RecordFunction& function) {
  if (sink) sink(sink_context, function.name());
  return nullptr;
}

}  // namespace

// From now on every operation of this thread is told to `to`. Returns a number for the end.
extern "C" unsigned long refvsr_trace_start(Sink to, void* context) {
  sink = to;
  sink_context = context;
  return at::addThreadLocalCallback(
      at::RecordFunctionCallback(&started).scopes({at::RecordScope::FUNCTION}));
}

extern "C" void refvsr_trace_end(unsigned long handle) {
  at::removeCallback(handle);
  sink = nullptr;
}
