// The operations that libtorch runs on a thread, by name.
#include <ATen/record_function.h>

#include <memory>

#include "entry.h"

namespace {

typedef void (*Sink)(void* context, const char* name);

thread_local Sink sink = nullptr;
thread_local void* sink_context = nullptr;

std::unique_ptr<at::ObserverContext> started(const at::RecordFunction& function) {
  if (sink) sink(sink_context, function.name());
  return nullptr;
}

}  // namespace

// From now on every operation of this thread is told to `to`, which does not throw. Returns a number for
// the end, or 0 where libtorch refuses. There is one such trace a thread.
extern "C" unsigned long refvsr_trace_start(Sink to, void* context) noexcept {
  return refvsr::entered(0ul, [=]() -> unsigned long {
    const auto handle = at::addThreadLocalCallback(
        at::RecordFunctionCallback(&started).scopes({at::RecordScope::FUNCTION}));
    sink = to;
    sink_context = context;
    return handle;
  });
}

// Nothing is told any more, even where libtorch cannot remove the callback.
extern "C" void refvsr_trace_end(unsigned long handle) noexcept {
  sink = nullptr;
  sink_context = nullptr;
  refvsr::entered(0, [=] {
    at::removeCallback(handle);
    return 0;
  });
}

// For tests: what comes of an exception on its way to Rust.
extern "C" int refvsr_entry_throws() noexcept {
  return refvsr::entered(7, []() -> int { throw 1; });
}
