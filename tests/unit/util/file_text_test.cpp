// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/util/file_text.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "support/fakes.h"
#include "tciafs/util/limits.h"

namespace tciafs::testing {
namespace {

std::string ContentOf(const FileText& text) {
  if (text.fd() < 0) return text.text();
  std::string bytes(static_cast<size_t>(text.size_bytes()), '\0');
  EXPECT_EQ(::pread(text.fd(), bytes.data(), bytes.size(), 0), text.size_bytes());
  return bytes;
}

TEST(FileText, AShortOneIsInMemory) {
  TempDirectory directory;
  FileTextWriter writer(directory.path(), nullptr);
  writer.pending() += "short";
  EXPECT_TRUE(writer.Settle());
  const FileTextPtr text = *writer.Finish();
  EXPECT_EQ(text->fd(), -1);
  EXPECT_EQ(text->size_bytes(), 5);
  EXPECT_EQ(ContentOf(*text), "short");
}

TEST(FileText, ALongOneIsInAFileWithoutAName) {
  TempDirectory directory;
  FileTextWriter writer(directory.path(), nullptr);
  std::string whole;
  for (char c = 'a'; c < 'e'; ++c) {
    const std::string piece(kTextInMemoryBytesMax - 1, c);
    writer.pending() += piece;
    whole += piece;
    EXPECT_TRUE(writer.Settle());
  }
  const FileTextPtr text = *writer.Finish();
  EXPECT_GE(text->fd(), 0);
  EXPECT_EQ(ContentOf(*text), whole);
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(FileText, WithoutADirectoryItStaysInMemory) {
  FileTextWriter writer("", nullptr);
  writer.pending().append(kTextInMemoryBytesMax + 1, 'x');
  EXPECT_TRUE(writer.Settle());
  const FileTextPtr text = *writer.Finish();
  EXPECT_EQ(text->fd(), -1);
  EXPECT_EQ(text->size_bytes(), static_cast<int64_t>(kTextInMemoryBytesMax) + 1);
}

TEST(FileText, RoomIsAskedForBeforeAnythingIsWritten) {
  TempDirectory directory;
  FileTextWriter writer(directory.path(), [] { return int64_t{kTextInMemoryBytesMax}; });
  writer.pending().append(kTextInMemoryBytesMax, 'x');
  EXPECT_TRUE(writer.Settle());
  writer.pending().append(kTextInMemoryBytesMax + 1, 'x');
  EXPECT_EQ(writer.Settle().error().code, Errc::kNoSpace);
}

TEST(FileText, WhereNothingCanBeWrittenIsAnError) {
  FileTextWriter writer("/nonexistent/tciafs", nullptr);
  writer.pending().append(kTextInMemoryBytesMax, 'x');
  EXPECT_EQ(writer.Settle().error().code, Errc::kInternal);
}

}  // namespace
}  // namespace tciafs::testing
