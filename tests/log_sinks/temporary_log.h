#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace reqtrail {

/// A directory for one test's log files; gone after it.
class TemporaryLog {
 public:
  TemporaryLog() {
    std::string pattern = testing::TempDir() + "reqtrail-log-XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  TemporaryLog(const TemporaryLog&) = delete;
  TemporaryLog& operator=(const TemporaryLog&) = delete;
  ~TemporaryLog() { std::filesystem::remove_all(directory_); }

  [[nodiscard]] std::string path(const std::string& suffix = "") const { return directory_ / ("app.log" + suffix); }

  [[nodiscard]] std::string Text(const std::string& suffix = "") const {
    std::ostringstream text;
    text << std::ifstream(path(suffix)).rdbuf();
    return text.str();
  }

  [[nodiscard]] std::vector<std::string> Lines(const std::string& suffix = "") const {
    std::vector<std::string> lines;
    std::ifstream file(path(suffix));
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }

 private:
  std::filesystem::path directory_;
};

}  // namespace reqtrail
