# What `cmake --install` puts in place, and the package that CPack makes of it (scripts/package).

install(CODE "
  set(TCIAFS_PACKAGE_DIR \"${CMAKE_CURRENT_LIST_DIR}\")
  set(TCIAFS_BUILD_DIR \"${CMAKE_BINARY_DIR}\")")
install(SCRIPT ${CMAKE_CURRENT_LIST_DIR}/places.cmake)
install(TARGETS tciafs RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
foreach(section 1 5 7 8)
  file(GLOB pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/man/*.${section})
  install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
include(${CMAKE_CURRENT_LIST_DIR}/Package.cmake)
