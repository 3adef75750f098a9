// Sleeping on a word of shared memory.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace distri::shm {

static_assert(std::atomic<uint32_t>::is_always_lock_free && sizeof(std::atomic<uint32_t>) == 4);
static_assert(std::atomic<uint64_t>::is_always_lock_free && sizeof(std::atomic<uint64_t>) == 8);

// Sleeps while `word` is `expected`, until a wake or for `limit`. May return early: look again.
void FutexWait(const std::atomic<uint32_t>& word, uint32_t expected, std::chrono::nanoseconds limit);

// Wakes all that sleep on `word`, in every process.
void FutexWakeAll(const std::atomic<uint32_t>& word);

}  // namespace distri::shm
