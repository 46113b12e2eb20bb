//===- Complete.cpp - what shells offer behind `pith` -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The shells' completion functions ask the program itself, so that they know exactly the options that it has. Nothing
// is printed where a file's name is expected.
//
//===----------------------------------------------------------------------===//

#include "Commands.h"
#include "llvm/Support/raw_ostream.h"
#include <set>

using namespace llvm;

static void print(const std::set<std::string> &candidates, StringRef begun) {
  for (const std::string &candidate : candidates)
    if (StringRef(candidate).starts_with(begun))
      outs() << candidate << "\n";
}

/// "--name" of every option that `--help` shows.
static std::set<std::string> optionsOf(cl::SubCommand &command) {
  std::set<std::string> names{"--help"};
  for (const auto &entry : command.OptionsMap) {
    const cl::Option &option = *entry.second;
    bool ofLibrary = option.Subs.contains(&cl::SubCommand::getAll());
    if (option.getOptionHiddenFlag() == cl::NotHidden && !ofLibrary)
      names.insert((entry.first.size() > 1 ? "--" : "-") + entry.first.str());
  }
  return names;
}

int pith::tool::complete(ArrayRef<char *> words) {
  StringRef begun = words.empty() ? "" : words.back();
  std::set<std::string> candidates;
  if (words.size() < 2) {
    for (cl::SubCommand *command : cl::getRegisteredSubcommands())
      if (!command->getName().empty())
        candidates.insert(command->getName().str());
    print(candidates, begun);
    return 0;
  }
  for (cl::SubCommand *command : cl::getRegisteredSubcommands())
    if (!command->getName().empty() && command->getName() == words.front() && begun.starts_with("-"))
      print(optionsOf(*command), begun);
  return 0;
}
