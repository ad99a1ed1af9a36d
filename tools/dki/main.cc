// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/options.h"

int main(int argc, char** argv) {
  return dki::cli::RunCommandLine(argc, argv);
}
