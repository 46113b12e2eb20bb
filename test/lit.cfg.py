# How lit runs the tests that are files: RUN lines checked with FileCheck.
import os

import lit.formats

config.name = "Pith"
config.test_format = lit.formats.ShTest(execute_external=True)
config.suffixes = [".mlir", ".test"]
config.excludes = ["unit", "models", "data", "Inputs"]
config.test_source_root = os.path.join(config.pith_source, "test")
config.test_exec_root = os.path.join(config.pith_build, "test")

config.environment["PATH"] = os.pathsep.join(
    [os.path.join(config.pith_build, "bin"), config.llvm_tools, config.environment.get("PATH", "")])
# Debian's LLVM is not instrumented: its containers and allocators would be reported falsely.
config.environment["ASAN_OPTIONS"] = "detect_container_overflow=0:allow_user_poisoning=0:detect_leaks=0"
config.substitutions.append(("%models", os.path.join(config.pith_source, "test", "models")))
config.substitutions.append(("%build", config.pith_build))

# Programs that users build: compiled with ccache where the build uses it.
for name in ("HOME", "CCACHE_DIR"):
    if name in os.environ:
        config.environment[name] = os.environ[name]
config.substitutions.append(("%launcher", config.launcher if os.path.exists(config.launcher) else ""))
# How long the example server is loaded.
config.substitutions.append(("%seconds", lit_config.params.get("seconds", "1")))
# Tests of minutes: cmake --build build --target emulator-models
if lit_config.params.get("heavy"):
    config.available_features.add("heavy")
# An instrumented library needs instrumented programs.
if not config.sanitize:
    config.available_features.add("installable")

# Models that are too large to ship; tests that need them say REQUIRES: shared-models.
shared = os.path.join(os.path.dirname(config.pith_source), "shared", "models")
config.substitutions.append(("%shared_models", shared))
if os.path.isdir(shared):
    config.available_features.add("shared-models")
else:
    config.available_features.add("no-shared-models")
    lit_config.note("no ../shared/models: the tests on those models are skipped")
config.substitutions.append(("%docs", os.path.join(config.pith_source, "docs")))

# Debian's libonnx-testdata
testdata = "/usr/share/libonnx-testdata/data"
config.substitutions.append(("%onnx_testdata", testdata))
if os.path.isdir(testdata):
    config.available_features.add("onnx-testdata")
if not config.has_compiler:
    config.unsupported = True
