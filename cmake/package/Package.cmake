# The Debian package (scripts/package): what `cmake --install` puts below /usr, with Debian's own papers.
set(TCIAFS_MAINTAINER "tciafs authors <tciafs@packages.invalid>" CACHE STRING "Maintainer of the package")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME tciafs)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "${TCIAFS_MAINTAINER}")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "file system that shows The Cancer Imaging Archive")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"Mounts archives of DICOM images that speak the NBIA REST interface, above
all The Cancer Imaging Archive, as a tree of directories: collection,
patient, study, series. Listings appear as you look, without downloading
anything; the first program that opens an image starts the download of its
series, which then stays in a cache on disk.")
# Libraries are found by dpkg-shlibdeps; fusermount3 mounts for everybody but root.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "fuse3")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "ca-certificates")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "attr, logrotate, plocate")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION TRUE)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    ${CMAKE_CURRENT_LIST_DIR}/debian/conffiles ${CMAKE_CURRENT_LIST_DIR}/debian/postinst
    ${CMAKE_CURRENT_LIST_DIR}/debian/prerm ${CMAKE_CURRENT_LIST_DIR}/debian/postrm)

# Some of what is installed is outside the prefix (/etc), which only DESTDIR can stage.
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/debian/papers.cmake)
include(CPack)
