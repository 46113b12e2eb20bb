# `cmake --install`: the package files. Targets and headers are installed where they are defined; everything is found
# relative to these files, so that an installed tree may be moved.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(PITH_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/Pith)
configure_package_config_file(cmake/PithConfig.cmake.in ${PROJECT_BINARY_DIR}/PithConfig.cmake
  INSTALL_DESTINATION ${PITH_PACKAGE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/PithConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/PithConfig.cmake ${PROJECT_BINARY_DIR}/PithConfigVersion.cmake
  cmake/PithEmbedModel.cmake DESTINATION ${PITH_PACKAGE_DIR})
foreach(part Runtime Tokenizer)
  install(EXPORT Pith${part}Targets NAMESPACE Pith:: DESTINATION ${PITH_PACKAGE_DIR})
endforeach()
if(PITH_BUILD_COMPILER)
  install(EXPORT PithToolsTargets NAMESPACE Pith:: DESTINATION ${PITH_PACKAGE_DIR})
endif()

# pcfiledir is where pkg-config found the file.
file(RELATIVE_PATH PITH_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" PITH_PC_PREFIX "${PITH_PC_PREFIX}")
foreach(library pith pith-tokenizer)
  configure_file(cmake/${library}.pc.in ${PROJECT_BINARY_DIR}/${library}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${library}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
