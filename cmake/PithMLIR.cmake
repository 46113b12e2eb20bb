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

# MLIR's headers are most of a build from scratch. The preset `release` precompiles them with clang, which takes half as long
# as GCC for that and all that follows. Every file still includes what it uses; a build without it checks that, and
# shares its objects with other builds through ccache.
option(PITH_PRECOMPILE "precompile MLIR's headers (the preset `release` does)" OFF)
if(PITH_PRECOMPILE)
  file(WRITE ${PROJECT_BINARY_DIR}/Precompiled.cpp "")
  add_library(PithPrecompiled OBJECT ${PROJECT_BINARY_DIR}/Precompiled.cpp)
  target_compile_options(PithPrecompiled PRIVATE -fno-rtti)
  target_precompile_headers(PithPrecompiled PRIVATE
    "<mlir/Dialect/Arith/IR/Arith.h>"
    "<mlir/Dialect/Bufferization/IR/Bufferization.h>"
    "<mlir/Dialect/Func/IR/FuncOps.h>"
    "<mlir/Dialect/GPU/IR/GPUDialect.h>"
    "<mlir/Dialect/LLVMIR/LLVMDialect.h>"
    "<mlir/Dialect/LLVMIR/NVVMDialect.h>"
    "<mlir/Dialect/LLVMIR/ROCDLDialect.h>"
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

# pith_uses_mlir(TARGET): for all whose sources include MLIR's headers. LLVM is built without RTTI, and so is everything that
# derives from its classes.
function(pith_uses_mlir name)
  target_compile_options(${name} PRIVATE -fno-rtti)
  if(PITH_PRECOMPILE)
    target_compile_options(${name} PRIVATE -fPIC) # as what they were precompiled with
    target_precompile_headers(${name} REUSE_FROM PithPrecompiled)
  endif()
endfunction()

# pith_add_library(NAME SOURCES... [LIBS...] [DEPENDS...]): a static library of the compiler.
function(pith_add_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  pith_uses_mlir(${name})
  target_link_libraries(${name} PUBLIC ${ARG_LIBS} MLIR LLVM)
  add_dependencies(${name} ${ARG_DEPENDS} PithIncGen)
endfunction()
