// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/import/json.h"

#include <cerrno>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>

namespace hyper::scheduler {
namespace {

constexpr int depth_max = 64;
constexpr size_t text_bytes_max = size_t{1} << 20;
constexpr size_t values_max = 2'000'000;

// The bytes of a stream, up to one that makes a text too long: the parser itself would hold any length.
class Bytes {
  public:
    explicit Bytes(std::streambuf* from) : from_(from) {}

    bool ended() {
        if (too_long_) return true;
        return from_->sgetc() == std::char_traits<char>::eof();
    }
    char peek() { return std::char_traits<char>::to_char_type(from_->sgetc()); }
    void next() {
        char c = std::char_traits<char>::to_char_type(from_->sbumpc());
        count_++;
        bool quote = c == '"' && !escaped_;
        escaped_ = in_text_ && c == '\\' && !escaped_;
        in_text_ = in_text_ != quote;
        run_ = quote || (!in_text_ && c == ',') ? 0 : run_ + 1;
        too_long_ = run_ > text_bytes_max;
    }
    uint64_t count() const { return count_; }
    bool too_long() const { return too_long_; }

  private:
    std::streambuf* from_;
    uint64_t count_ = 0;
    size_t run_ = 0;  // bytes of a text, or of a number and what is around it
    bool in_text_ = false, escaped_ = false, too_long_ = false;
};

class BytesIterator {
  public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = char;

    explicit BytesIterator(Bytes* bytes) : bytes_(bytes) {}
    char operator*() const { return bytes_->peek(); }
    BytesIterator& operator++() {
        bytes_->next();
        return *this;
    }
    // The end is the iterator of no bytes.
    bool operator==(const BytesIterator& other) const { return at_end() == other.at_end(); }
    bool operator!=(const BytesIterator& other) const { return !(*this == other); }

  private:
    bool at_end() const { return bytes_ == nullptr || bytes_->ended(); }
    Bytes* bytes_;
};

// nlohmann's side of JsonEvents. Its names are the parser's.
class Sax {
  public:
    explicit Sax(JsonEvents& events) : events_(events) {}

    bool null() { return value(JsonKind::null, "null"); }
    bool boolean(bool is) { return value(JsonKind::boolean, is ? "true" : "false"); }
    bool number_integer(int64_t number) { return value(JsonKind::number, std::to_string(number)); }
    bool number_unsigned(uint64_t number) { return value(JsonKind::number, std::to_string(number)); }
    bool number_float(double, const std::string& written) { return value(JsonKind::number, written); }
    bool string(std::string& text) { return take(events_.value(JsonKind::text, text)); }
    bool binary(nlohmann::json::binary_t&) { return false; }
    bool start_object(size_t) { return begin(JsonKind::object); }
    bool start_array(size_t) { return begin(JsonKind::array); }
    bool key(std::string& name) { return take(events_.name(name)); }
    bool end_object() { return end(); }
    bool end_array() { return end(); }
    bool parse_error(size_t at, const std::string&, const nlohmann::detail::exception&) {
        wrong_at_ = at;
        return false;
    }

    std::optional<Error> error;
    size_t wrong_at() const { return wrong_at_; }

  private:
    bool take(Result<void> done) {
        if (!done) error = std::move(done).error();
        return done.has_value();
    }
    bool value(JsonKind kind, std::string text) { return take(events_.value(kind, text)); }
    bool begin(JsonKind kind) {
        if (++depth_ > depth_max) return take(fail(EINVAL, "is nested deeper than {}", depth_max));
        return take(events_.begin(kind));
    }
    bool end() {
        depth_--;
        return take(events_.end());
    }

    JsonEvents& events_;
    int depth_ = 0;
    size_t wrong_at_ = 0;
};

class TreeBuilder : public JsonEvents {
  public:
    Result<void> begin(JsonKind kind) override {
        JsonValue* made = TRY(add(kind));
        open_.push_back(made);
        return {};
    }
    Result<void> name(std::string& name) override {
        open_.back()->names.push_back(std::move(name));
        return {};
    }
    Result<void> end() override {
        open_.pop_back();
        return {};
    }
    Result<void> value(JsonKind kind, std::string& text) override {
        JsonValue* made = TRY(add(kind));
        made->text = std::move(text);
        return {};
    }

    JsonValue root;

  private:
    // Items of an open value move only while none of them is open.
    Result<JsonValue*> add(JsonKind kind) {
        if (++count_ > values_max) return fail(EFBIG, "has more than {} values", values_max);
        if (open_.empty()) {
            root.kind = kind;
            return &root;
        }
        open_.back()->items.push_back({});
        open_.back()->items.back().kind = kind;
        return &open_.back()->items.back();
    }

    std::vector<JsonValue*> open_;
    size_t count_ = 0;
};

}  // namespace

Result<void> read_json(std::istream& in, std::string_view file, JsonEvents& events) {
    if (in.rdbuf() == nullptr) return fail(EINVAL, "{}: cannot be read", file);
    Bytes bytes(in.rdbuf());
    Sax sax(events);
    bool good = nlohmann::json::sax_parse(BytesIterator(&bytes), BytesIterator(nullptr), &sax);
    if (sax.error) return fail(sax.error->code, "{}: byte {}: {}", file, bytes.count(), sax.error->message);
    if (bytes.too_long()) return fail(EINVAL, "{}: byte {}: a text is longer than {} bytes", file, bytes.count(), text_bytes_max);
    if (!good) return fail(EINVAL, "{}: byte {}: is no JSON from there on", file, sax.wrong_at());
    return {};
}

const JsonValue* JsonValue::find(std::string_view name) const {
    for (size_t i = 0; i < names.size() && i < items.size(); i++)
        if (names[i] == name) return &items[i];
    return nullptr;
}

const std::string& JsonValue::text_of(std::string_view name) const {
    static const std::string none;
    const JsonValue* found = find(name);
    bool plain = found != nullptr && (found->kind == JsonKind::text || found->kind == JsonKind::number || found->kind == JsonKind::boolean);
    return plain ? found->text : none;
}

Result<JsonValue> read_json_tree(std::istream& in, std::string_view file) {
    TreeBuilder builder;
    TRY(read_json(in, file, builder));
    return std::move(builder.root);
}

}  // namespace hyper::scheduler
