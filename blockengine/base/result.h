// SPDX-License-Identifier: Apache-2.0
// Errors that can happen, as values. No function of ours throws for a foreign byte or a failed call.
#pragma once

#include <fmt/format.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace hyper {

// What went wrong. `code` is an errno for doors that can carry only that (NBD, FUSE);
// `message` is for people: lower case, what was attempted, on what, with numbers, and what to do.
struct Error {
    int code = 0;
    std::string message;
};

template <class T>
using Result = tl::expected<T, Error>;

// fail(EINVAL, "{}: cluster_bits {} is not within 9..21", path, bits)
template <class... Args>
tl::unexpected<Error> fail(int code, fmt::format_string<Args...> format, Args&&... args) {
    return tl::unexpected<Error>(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}

// "input/output error" for EIO and so on, in lower case as our messages are.
std::string errno_text(int code);

// TRY(expression) gives the value of a Result, or returns its error from the enclosing function.
// clang-format off
#define TRY(...)                                                      \
    __extension__({                                                   \
        auto try_result_ = (__VA_ARGS__);                             \
        if (!try_result_) [[unlikely]]                                \
            return tl::unexpected(std::move(try_result_).error());    \
        ::hyper::detail::take(std::move(try_result_));                \
    })
// clang-format on

namespace detail {
template <class T>
T take(Result<T>&& result) {
    return std::move(*result);
}
inline void take(Result<void>&&) {}
}  // namespace detail

}  // namespace hyper
