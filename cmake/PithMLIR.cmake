# LLVM and MLIR as Debian packages them: shared libMLIR and libLLVM, TableGen rules.
if(NOT MLIR_DIR AND NOT LLVM_DIR)
  set(MLIR_DIR /usr/lib/llvm-22/lib/cmake/mlir CACHE PATH "")
  set(LLVM_DIR /usr/lib/llvm-22/lib/cmake/llvm CACHE PATH "")
endif()
find_package(MLIR REQUIRED CONFIG)
message(STATUS "MLIR ${LLVM_PACKAGE_VERSION} in ${MLIR_DIR}")
list(APPEND CMAKE_MODULE_PATH ${MLIR_CMAKE_DIR} ${LLVM_CMAKE_DIR})
include(TableGen)
include(AddLLVM)
include(AddMLIR)

include_directories(SYSTEM ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
include_directories(${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/include)
include_directories(${PROJECT_SOURCE_DIR}/runtime/include)
add_definitions(${LLVM_DEFINITIONS})

# MLIR's headers are 2/5 of a build from scratch; precompiled they take 1 GB in the build folder. Every file still
# includes what it uses; a build without it checks that, and shares its objects with other builds through ccache.
option(PITH_PRECOMPILE "precompile MLIR's headers (the preset `release` does)" OFF)
if(PITH_PRECOMPILE)
  file(WRITE ${PROJECT_BINARY_DIR}/Precompiled.cpp "")
  add_library(PithPrecompiled OBJECT ${PROJECT_BINARY_DIR}/Precompiled.cpp)
  target_compile_options(PithPrecompiled PRIVATE -fno-rtti -fno-exceptions)
  target_precompile_headers(PithPrecompiled PRIVATE
    "<mlir/Dialect/Arith/IR/Arith.h>"
    "<mlir/Dialect/Bufferization/IR/Bufferization.h>"
    "<mlir/Dialect/Func/IR/FuncOps.h>"
    "<mlir/Dialect/LLVMIR/LLVMDialect.h>"
    "<mlir/Dialect/Linalg/IR/Linalg.h>"
    "<mlir/Dialect/Math/IR/Math.h>"
    "<mlir/Dialect/MemRef/IR/MemRef.h>"
    "<mlir/Dialect/SCF/IR/SCF.h>"
    "<mlir/Dialect/Tensor/IR/Tensor.h>"
    "<mlir/Dialect/Utils/StaticValueUtils.h>"
    "<mlir/Dialect/Vector/IR/VectorOps.h>"
    "<mlir/IR/Matchers.h>"
    "<mlir/IR/OpImplementation.h>"
    "<mlir/Pass/Pass.h>"
    "<mlir/Transforms/GreedyPatternRewriteDriver.h>")
endif()

# pith_add_library(NAME SOURCES... [LIBS...] [DEPENDS...]): a static library of the compiler. LLVM is built
# without RTTI and without exceptions, and so is everything that derives from its classes.
function(pith_add_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_compile_options(${name} PRIVATE -fno-rtti -fno-exceptions)
  if(PITH_PRECOMPILE)
    target_precompile_headers(${name} REUSE_FROM PithPrecompiled)
  endif()
  target_link_libraries(${name} PUBLIC ${ARG_LIBS} MLIR LLVM)
  add_dependencies(${name} ${ARG_DEPENDS} PithIncGen)
endfunction()
