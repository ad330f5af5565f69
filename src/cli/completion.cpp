// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/completion.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <string_view>

#include "cli/mountpoint.h"
#include "cli/option_table.h"
#include "tciafs/util/text.h"

namespace tciafs::cli {
namespace {

using Offers = std::vector<std::string>;

void Offer(Offers& offers, std::string_view typed, const std::string& word,
           const std::string& meaning = "") {
  if (word.starts_with(typed)) offers.push_back(word + "\t" + meaning);
}

// "auto|v4|v2" are words to choose from; "FILE" and "SIZE|N%" say what kind of value it is.
bool IsChoice(std::string_view value) {
  return value.find('|') != std::string_view::npos &&
         std::none_of(value.begin(), value.end(),
                      [](unsigned char c) { return std::isupper(c) != 0; });
}

void OfferValue(Offers& offers, std::string_view kind, std::string_view typed,
                const std::string& before) {
  if (kind.find("DIR") != std::string_view::npos)
    offers.emplace_back(":directories");
  else if (kind.find("FILE") != std::string_view::npos ||
           kind.find("PATH") != std::string_view::npos)
    offers.emplace_back(":files");
  else if (IsChoice(kind))
    for (const std::string_view choice : SplitText(kind, '|'))
      Offer(offers, before + std::string(typed), before + std::string(choice));
}

const CLI::Option* FindOption(const CLI::App& command, std::string_view name) {
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& known : option->get_lnames())
      if (name == "--" + known) return option;
    for (const std::string& known : option->get_snames())
      if (name == "-" + known) return option;
  }
  return nullptr;
}

bool TakesValue(const CLI::Option* option) {
  return option != nullptr && option->get_items_expected_max() > 0;
}

void OfferOptions(Offers& offers, const CLI::App& command, const std::string& typed) {
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames())
      Offer(offers, typed, "--" + name, option->get_description());
    if (typed == "-" && option->get_lnames().empty())
      for (const std::string& name : option->get_snames())
        Offer(offers, typed, "-" + name, option->get_description());
  }
}

// After -o: words between commas.
void OfferMountWords(Offers& offers, const std::string& typed) {
  const auto comma = typed.rfind(',');
  const std::string before = comma == std::string::npos ? "" : typed.substr(0, comma + 1);
  const std::string word = typed.substr(before.size());
  const auto equals = word.find('=');
  if (equals != std::string::npos) {
    std::string name = word.substr(0, equals);
    std::replace(name.begin(), name.end(), '_', '-');
    if (const OptionSpec* option = FindMountOption(name); option != nullptr)
      OfferValue(offers, option->value, word.substr(equals + 1),
                 before + word.substr(0, equals + 1));
    return;
  }
  offers.emplace_back(":nospace");
  for (const OptionSpec& option : MountOptionTable()) {
    std::string name = option.name;
    std::replace(name.begin(), name.end(), '-', '_');
    if (*option.value != '\0') name += '=';
    Offer(offers, typed, before + name, option.help);
  }
}

void OfferPositional(Offers& offers, const CLI::App& command, size_t number,
                     const std::string& typed) {
  std::vector<const CLI::Option*> positionals;
  for (const CLI::Option* option : command.get_options())
    if (option->get_positional()) positionals.push_back(option);
  if (positionals.empty()) return;
  const CLI::Option* wanted = positionals[std::min(number, positionals.size() - 1)];
  if (number >= positionals.size() && wanted->get_items_expected_max() <= 1) return;
  const std::string kind = wanted->get_name(true);
  if (kind != "MOUNTPOINT" || command.get_name() == "mount") {
    OfferValue(offers, kind == "MOUNTPOINT" ? "DIR" : kind, typed, "");
    return;
  }
  for (const MountEntry& entry : ReadMountTable())
    if (entry.type == "fuse.tciafs") Offer(offers, typed, entry.mountpoint, entry.source);
  if (offers.empty()) offers.emplace_back(":directories");
}

// Where in the command line the word to be completed stands.
struct Place {
  const CLI::App* command = nullptr;
  size_t positionals = 0;                // so far
  const CLI::Option* waiting = nullptr;  // the option whose value comes next
  bool options_ended = false;
};

void Step(Place& place, const std::string& word) {
  const auto deeper = place.command->get_subcommands(
      [&word](const CLI::App* subcommand) { return subcommand->get_name() == word; });
  if (place.waiting != nullptr) {
    place.waiting = nullptr;
  } else if (!place.options_ended && word == "--") {
    place.options_ended = true;
  } else if (!place.options_ended && word.starts_with("-")) {
    const CLI::Option* option = FindOption(*place.command, word);
    if (TakesValue(option)) place.waiting = option;
  } else if (place.positionals == 0 && !deeper.empty()) {
    place.command = deeper.front();
  } else {
    ++place.positionals;
  }
}

void OfferArguments(Offers& offers, const Place& place, const std::string& typed) {
  if (place.positionals == 0)
    for (const CLI::App* subcommand :
         place.command->get_subcommands([](const CLI::App*) { return true; }))
      Offer(offers, typed, subcommand->get_name(), subcommand->get_description());
  if (offers.empty()) OfferPositional(offers, *place.command, place.positionals, typed);
}

}  // namespace

std::vector<std::string> Complete(const CLI::App& app, const std::vector<std::string>& words) {
  Offers offers;
  Place place;
  place.command = &app;
  for (size_t i = 0; i + 1 < words.size(); ++i) Step(place, words[i]);
  const std::string typed = words.empty() ? "" : words.back();
  const auto equals = typed.find('=');
  const bool may_be_option = !place.options_ended && typed.starts_with("-");
  if (place.waiting != nullptr && place.waiting == FindOption(*place.command, "-o")) {
    OfferMountWords(offers, typed);
  } else if (place.waiting != nullptr) {
    OfferValue(offers, place.waiting->get_option_text(), typed, "");
  } else if (may_be_option && typed.starts_with("--") && equals != std::string::npos) {
    const CLI::Option* option = FindOption(*place.command, typed.substr(0, equals));
    if (TakesValue(option))
      OfferValue(offers, option->get_option_text(), typed.substr(equals + 1),
                 typed.substr(0, equals + 1));
  } else if (may_be_option) {
    OfferOptions(offers, *place.command, typed);
  } else {
    OfferArguments(offers, place, typed);
  }
  return offers;
}

}  // namespace tciafs::cli
