// SPDX-License-Identifier: Apache-2.0
#include <regex.h>

#include <cstdlib>
#include <set>
#include <string>

#include "convert/vmdk/check.h"

namespace hyper::vmdk {

namespace {

// A POSIX extended expression over one line.
class Pattern {
  public:
    explicit Pattern(const char* expression) { ::regcomp(&regex_, expression, REG_EXTENDED); }
    ~Pattern() { ::regfree(&regex_); }
    Pattern(const Pattern&) = delete;
    Pattern& operator=(const Pattern&) = delete;
    bool matches(const std::string& line) const { return ::regexec(&regex_, line.c_str(), 0, nullptr, 0) == 0; }

  private:
    regex_t regex_;
};

bool known_setting(const std::string& line) {
    static const Pattern patterns[] = {
        Pattern("^version *= *[123]$"), Pattern("^(CID|parentCID) *= *[0-9a-fA-F]{1,8}$"),
        Pattern("^encoding *= *\"[A-Za-z0-9_-]+\"$"), Pattern("^isNativeSnapshot *= *\"(yes|no)\"$"),
        Pattern("^createType *= *\"(monolithicSparse|monolithicFlat|twoGbMaxExtentSparse|twoGbMaxExtentFlat|"
                "streamOptimized|vmfs|custom)\"$"),
        Pattern("^(parentFileNameHint|changeTrackPath) *= *\"[^\"]+\"$"), Pattern("^ddb\\.[A-Za-z0-9_.]+ *= *\".*\"$")};
    for (const Pattern& pattern : patterns)
        if (pattern.matches(line)) return true;
    return false;
}

}  // namespace

uint64_t check_descriptor(std::string_view text, const SparseHeader* header, CheckReport& report) {
    static const Pattern extent_line(
        "^(RW|RDONLY|NOACCESS) [0-9]{1,12} +(ZERO|SPARSE \"[^\"/\\]+\"|VMFS \"[^\"/\\]+\"( [0-9]{1,12})?|"
        "FLAT \"[^\"/\\]+\" [0-9]{1,12})$");
    size_t end = text.find('\0');
    if (end != std::string_view::npos && text.find_first_not_of('\0', end) != std::string_view::npos)
        // qemu leaves the old text's end there when a new content id is shorter.
        report.warning("descriptor", "the padding behind the text is not zero");
    text = text.substr(0, end);
    uint64_t sectors = 0, extents = 0;
    std::set<std::string, std::less<>> seen;
    std::string create_type;
    for (size_t number = 1; !text.empty(); ++number) {
        std::string line(text.substr(0, text.find('\n')));
        text.remove_prefix(std::min(text.size(), line.size() + 1));
        while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
        if (line.empty() || line[0] == '#') continue;
        std::string field = fmt::format("descriptor line {}", number);
        if (line.starts_with("RW ") || line.starts_with("RDONLY ") || line.starts_with("NOACCESS ")) {
            ++extents;
            if (!extent_line.matches(line)) report.error(field, "\"{}\" is not an extent line", line.substr(0, 80));
            sectors += std::strtoull(line.c_str() + line.find(' '), nullptr, 10) % (uint64_t{1} << 40);
            continue;
        }
        if (!known_setting(line)) report.error(field, "\"{}\" is not a known line", line.substr(0, 80));
        std::string name = line.substr(0, line.find_first_of(" ="));
        if (!seen.insert(name).second) report.error(field, "{} stands there twice", name);
        if (name == "createType" && line.find('"') != std::string::npos) {
            create_type = line.substr(line.find('"') + 1);
            create_type = create_type.substr(0, create_type.find('"'));
        }
    }
    for (const char* name : {"version", "CID", "parentCID", "createType"})
        if (!seen.contains(name)) report.error("descriptor", "there is no line \"{}=\"", name);
    if (extents == 0) report.error("descriptor", "there is no extent line");
    if (header != nullptr) {
        if (extents != 1) report.error("descriptor", "{} extents in a file that is one", extents);
        bool stream = (header->flags & flag_compressed) != 0;
        if (create_type != (stream ? "streamOptimized" : "monolithicSparse"))
            report.error("createType", "\"{}\" does not go with flags {:#x}", create_type, uint32_t{header->flags});
    }
    return sectors;
}

}  // namespace hyper::vmdk
