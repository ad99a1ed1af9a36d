// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/known_modulations.h"

// A file's bytes as they are, read by the assembler. DKI_KNOWN_MODULATIONS: the folder.
#define DKI_EMBED(symbol, file)                                                              \
  asm(".section .rodata\n.balign 64\n" #symbol                                               \
      ":\n"                                                                                  \
      ".incbin \"" DKI_KNOWN_MODULATIONS "/" file "\"\n" #symbol "_end:\n.byte 0\n.text\n"); \
  extern "C" {                                                                               \
  __attribute__((visibility("hidden"))) extern const char symbol[];                          \
  __attribute__((visibility("hidden"))) extern const char symbol##_end[];                    \
  }

DKI_EMBED(dki_modulation_smollm2_135m, "smollm2-135m-instruct-q4_1.safetensors")

namespace dki::injection {

std::string_view KnownModulation(std::string_view model_fingerprint) {
  struct Known {
    std::string_view model_fingerprint;
    const char* begin;
    const char* end;
  };
  static constexpr Known kKnown[] = {
      // SmolLM2-135M-Instruct, Q4_1.
      {"2bacb05b3899f00f83861127609239488a128f9ec9929fa58c5192b3d8303db9",
       dki_modulation_smollm2_135m, dki_modulation_smollm2_135m_end},
  };
  for (const Known& known : kKnown) {
    if (known.model_fingerprint != model_fingerprint) continue;
    return {known.begin, static_cast<size_t>(known.end - known.begin)};
  }
  return {};
}

absl::StatusOr<std::shared_ptr<const Modulation>> LoadModulation(const std::string& name,
                                                                 const model::ModelConfig& config,
                                                                 std::string_view isa) {
  if (name == "none") return std::shared_ptr<const Modulation>();
  if (!name.empty()) return Modulation::Load(name, config, isa);
  const std::string_view known = KnownModulation(config.fingerprint);
  if (known.empty()) return std::shared_ptr<const Modulation>();
  const auto chosen = kernels::ChooseIsa(isa);
  if (!chosen) return InvalidArgument("isa is \"%s\", which this CPU has not", isa);
  return Modulation::Parse(known, config, *chosen);
}

}  // namespace dki::injection
