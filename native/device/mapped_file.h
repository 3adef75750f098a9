// Files of weights, read where they lie.
#pragma once

#include <cstddef>
#include <string>

namespace distri::device {

class MappedFile {
 public:
  // The whole file, read-only. Throws std::runtime_error.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;

  const std::string& path() const { return path_; }
  // Throws std::runtime_error where the file ends before.
  const std::byte* At(size_t offset, size_t bytes) const;

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace distri::device
