// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "zip/zlib_inflater.h"

#include <fmt/core.h>
#include <zlib.h>

#include <algorithm>
#include <limits>

namespace tciafs::zip {
namespace {

constexpr int kRawDeflateWindowBits = -MAX_WBITS;  // negative: no zlib or gzip wrapper
constexpr size_t kZlibStepBytesMax = std::numeric_limits<uInt>::max();

class ZlibInflater final : public Inflater {
 public:
  ZlibInflater() : ready_(inflateInit2(&stream_, kRawDeflateWindowBits) == Z_OK) {}
  ~ZlibInflater() override {
    if (ready_) inflateEnd(&stream_);
  }
  ZlibInflater(const ZlibInflater&) = delete;
  ZlibInflater& operator=(const ZlibInflater&) = delete;

  Status Reset() override {
    if (!ready_ || inflateReset(&stream_) != Z_OK)
      return Fail(Errc::kInternal, "zlib: cannot start inflating");
    return {};
  }

  Result<InflateStep> Inflate(ByteView in, std::span<std::byte> out) override {
    const auto in_bytes = static_cast<uInt>(std::min(in.size(), kZlibStepBytesMax));
    const auto out_bytes = static_cast<uInt>(std::min(out.size(), kZlibStepBytesMax));
    // zlib takes no null pointer even for no bytes, and only reads through next_in.
    static const Bytef kNothing = 0;
    const auto* first = in.empty() ? &kNothing : reinterpret_cast<const Bytef*>(in.data());
    stream_.next_in = const_cast<Bytef*>(first);
    stream_.avail_in = in_bytes;
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = out_bytes;
    const int code = inflate(&stream_, Z_NO_FLUSH);
    if (code == Z_MEM_ERROR) return Fail(Errc::kInternal, "zlib: out of memory");
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)  // Z_BUF_ERROR: no progress
      return Fail(Errc::kCorrupt, fmt::format("damaged compressed data ({})",
                                              stream_.msg != nullptr ? stream_.msg : zError(code)));
    InflateStep step;
    step.consumed_bytes = in_bytes - stream_.avail_in;
    step.produced_bytes = out_bytes - stream_.avail_out;
    step.finished = code == Z_STREAM_END;
    return step;
  }

  ByteView Unread() const override { return {}; }  // zlib gives whole bytes back by itself

 private:
  z_stream stream_ = {};
  bool ready_;
};

}  // namespace

std::unique_ptr<Inflater> MakeZlibInflater() { return std::make_unique<ZlibInflater>(); }

}  // namespace tciafs::zip
