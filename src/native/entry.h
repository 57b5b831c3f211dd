// How Rust enters C++: no exception gets out, which would end the process or worse.
#pragma once

#include <utility>

namespace refvsr {

// What `work` returns, or `failed` where it throws.
template <typename Work, typename Result>
Result entered(Result failed, Work&& work) noexcept {
  try {
    return std::forward<Work>(work)();
  } catch (...) {
    return failed;
  }
}

}  // namespace refvsr
