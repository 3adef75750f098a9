// How fast a transport is, measured where operators use it: without JavaScript in between.
#pragma once

#include <vector>

#include "comm/communicator.h"

namespace distri {

// Each takes part in a pattern `iterations` times and returns the nanoseconds of each. All ranks call it with
// the same arguments; a slot is used up by it, because its ticks start at 0.

std::vector<double> MeasureBarriers(Communicator& communicator, int iterations);

// Rank 0 publishes its part of `slot`, rank 1 reads it and answers with its own, rank 0 reads that. Others
// return nothing.
std::vector<double> MeasureRoundTrips(Communicator& communicator, int slot, int iterations);

// Every rank copies its part of `slot` into shared memory and everybody's into an array of its own.
std::vector<double> MeasureAllGathers(Communicator& communicator, int slot, int iterations);

}  // namespace distri
