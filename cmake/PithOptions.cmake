# Warnings and sanitizers, the same for every target.
add_compile_options(-Wall -Wextra -Wno-unused-parameter)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # Both speak of good code: nested braces of aggregates may be left out; what is deprecated stands inside libstdc++.
  add_compile_options(-Wno-missing-braces $<$<COMPILE_LANGUAGE:CXX>:-Wno-deprecated-declarations>)
endif()
if(PITH_SANITIZE)
  # vptr checks need the RTTI that LLVM is built without.
  add_compile_options(-fsanitize=${PITH_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -fno-sanitize=vptr)
  add_link_options(-fsanitize=${PITH_SANITIZE})
endif()

# pith_add_unittest(NAME SOURCES... LIBS...): one GoogleTest program, build/bin/test/NAME, known to ctest and lit.
function(pith_add_unittest name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  find_package(GTest REQUIRED)
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} GTest::gtest GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin/test)
  set_property(GLOBAL APPEND PROPERTY PITH_UNITTESTS ${name})
  add_test(NAME ${name} COMMAND ${name})
endfunction()
