#include "metrics/set_aside.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>
#include <string_view>
#include <vector>

namespace reqtrail {
namespace {

std::vector<std::string> NamesThatStartWith(int directory, std::string_view prefix) {
  std::vector<std::string> names;
  const int fd = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);  // its own position in the listing
  DIR* listing = fd < 0 ? nullptr : ::fdopendir(fd);
  if (listing == nullptr) {
    if (fd >= 0) ::close(fd);
    return names;
  }
  while (const dirent* entry = ::readdir(listing)) {  // NOLINT(concurrency-mt-unsafe): a listing of this call's own
    if (std::string_view(entry->d_name).starts_with(prefix)) names.emplace_back(entry->d_name);
  }
  ::closedir(listing);
  return names;
}

}  // namespace

int SetAside(int directory, const std::string& name) {
  const std::string prefix = name + ".bad-";
  const std::vector<std::string> older = NamesThatStartWith(directory, prefix);
  const std::string bad = prefix + std::to_string(std::time(nullptr));
  if (::renameat(directory, name.c_str(), directory, bad.c_str()) != 0) return errno;
  for (const std::string& old_name : older) {
    if (old_name != bad) ::unlinkat(directory, old_name.c_str(), 0);
  }
  return 0;
}

}  // namespace reqtrail
