// SPDX-License-Identifier: Apache-2.0
// Purpose: freed memory is overwritten, in every library of the process: what was erased does not
//   live on in the heap. Linked into the services (a program that has this file uses it; nothing
//   calls it by name). Works with glibc, whose own functions do the rest.
//   malloc's M_PERTURB would be simpler, but leaves out what goes into the per-thread cache, which
//   is nearly everything.
// Thread-safety: thread-safe.
#include <malloc.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

extern "C" {

void __libc_free(void* block);
void* __libc_malloc(size_t size);

// A block of its own mapping (the second bit of the size in front of it) is unmapped, and so needs
// no overwriting.
static bool IsMapped(const void* block) {
  uintptr_t size = 0;
  std::memcpy(&size, static_cast<const char*>(block) - sizeof(size), sizeof(size));
  return (size & 2) != 0;
}

void free(void* block) {
  if (block == nullptr) return;
  const int error = errno;
  if (!IsMapped(block)) explicit_bzero(block, malloc_usable_size(block));
  __libc_free(block);
  errno = error;
}

// glibc's would free the old block without coming by here.
void* realloc(void* block, size_t size) {
  if (block == nullptr) return __libc_malloc(size);
  if (size == 0) {
    free(block);
    return nullptr;
  }
  const size_t usable = malloc_usable_size(block);
  if (size <= usable && size >= usable / 2) return block;
  void* larger = __libc_malloc(size);
  if (larger == nullptr) return nullptr;
  std::memcpy(larger, block, size < usable ? size : usable);
  free(block);
  return larger;
}

}  // extern "C"
