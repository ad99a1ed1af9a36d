# dki_library(NAME SOURCES ... DEPS ... [PRIVATE_DEPS ...])   a static library, linked as dki::NAME
# dki_binary(NAME SOURCES ... DEPS ...)                       a program in build/bin
# dki_service(NAME SOURCES ... DEPS ...)                      one whose freed memory is overwritten
# dki_test(NAME SOURCES ... DEPS ... [LABELS ...] [ARGS ...]) a GoogleTest program, run by CTest
# dki_bench(NAME SOURCES ... DEPS ...)                        a benchmark program in build/bin
include(CMakeParseArguments)

function(dki_library name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  if(A_SOURCES)
    add_library(dki_${name} STATIC ${A_SOURCES})
    target_include_directories(dki_${name} PUBLIC ${CMAKE_SOURCE_DIR})
    target_link_libraries(dki_${name} PUBLIC ${A_DEPS} PRIVATE dki_warnings ${A_PRIVATE_DEPS})
  else()
    add_library(dki_${name} INTERFACE)
    target_include_directories(dki_${name} INTERFACE ${CMAKE_SOURCE_DIR})
    target_link_libraries(dki_${name} INTERFACE ${A_DEPS})
  endif()
  add_library(dki::${name} ALIAS dki_${name})
endfunction()

function(dki_binary name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${A_DEPS} dki_warnings)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endfunction()

function(dki_service name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
  if(NOT DKI_SANITIZE)  # sanitizers have allocators of their own
    list(APPEND A_SOURCES ${CMAKE_SOURCE_DIR}/libs/base/wipe_freed.cc)
  endif()
  dki_binary(${name} SOURCES ${A_SOURCES} DEPS ${A_DEPS})
endfunction()

function(dki_test name)
  if(NOT DKI_TESTS)
    return()
  endif()
  cmake_parse_arguments(A "" "TIMEOUT" "SOURCES;DEPS;LABELS;ARGS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${A_DEPS} dki_warnings GTest::gmock GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 300)
  endif()
  if(DKI_SANITIZE)  # ThreadSanitizer makes the runtime ten times as slow
    math(EXPR A_TIMEOUT "6 * ${A_TIMEOUT}")
  endif()
  add_test(NAME ${name} COMMAND ${name} ${A_ARGS} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${A_TIMEOUT} LABELS "${A_LABELS}" SKIP_RETURN_CODE 77)
endfunction()

function(dki_bench name)
  if(NOT DKI_BENCH)
    return()
  endif()
  dki_binary(${name} ${ARGN})
endfunction()
