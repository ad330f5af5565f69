// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A shorter way to the members of a row, for what nearly every row is: a flat JSON object of ASCII
// texts with no escape but that of a slash, plain decimal numbers, booleans and nulls. A bulk
// answer has hundreds of thousands of them. Pure function; whatever is not so plain, right or
// wrong, is left to the JSON parser. Source: RFC 8259.
#pragma once

#include <optional>
#include <string_view>

#include "tciafs/source/records.h"

namespace tciafs::nbia {

// What ParseAttributes (json_values.h) answers, or nullopt: ask the parser.
std::optional<source::Attributes> ParsePlainRow(std::string_view row);

}  // namespace tciafs::nbia
