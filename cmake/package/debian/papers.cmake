# Run by CPack when all is staged: adds what Debian's policy asks of every package.
set(docs "${CPACK_TEMPORARY_INSTALL_DIRECTORY}/usr/share/doc/tciafs")
configure_file("${CMAKE_CURRENT_LIST_DIR}/copyright" "${docs}/copyright" COPYONLY)
configure_file("${CMAKE_CURRENT_LIST_DIR}/changelog" "${docs}/changelog" @ONLY)
file(GLOB pages "${CPACK_TEMPORARY_INSTALL_DIRECTORY}/usr/share/man/man*/*")
execute_process(COMMAND gzip -9n ${pages} "${docs}/changelog" COMMAND_ERROR_IS_FATAL ANY)
