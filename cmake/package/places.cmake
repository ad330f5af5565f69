# Run by `cmake --install` and by CPack: puts what surrounds the program where systems look for it.
# What depends on the prefix is decided here, since it may be given only now. DESTDIR is honoured.
# Given: TCIAFS_PACKAGE_DIR (this folder), TCIAFS_BUILD_DIR and CMAKE_INSTALL_PREFIX.

# Elsewhere than in these two prefixes nobody looks without being told; there all stays inside.
set(prefix "${CMAKE_INSTALL_PREFIX}")
set(etc "${prefix}/etc")
set(helper_dir "${prefix}/sbin")  # mount(8) looks for its helpers in /sbin alone
if(prefix STREQUAL "/usr" OR prefix STREQUAL "/usr/local")
  set(etc /etc)
  set(helper_dir /usr/sbin)
  if(IS_DIRECTORY /sbin AND NOT IS_SYMLINK /sbin)
    set(helper_dir /sbin)
  endif()
endif()
set(zsh_dir "${prefix}/share/zsh/site-functions")
if(prefix STREQUAL "/usr" AND EXISTS /etc/debian_version)
  set(zsh_dir "${prefix}/share/zsh/vendor-completions")
endif()
set(UPDATEDB /usr/sbin/updatedb)
if(EXISTS /etc/debian_version)
  set(UPDATEDB /usr/sbin/updatedb.plocate)
endif()
set(TCIAFS_BIN "${prefix}/bin/tciafs")

# Directories that are missing, readable by everybody whatever the umask of who installs is.
function(make_directories path)
  if(NOT EXISTS "$ENV{DESTDIR}${path}")
    cmake_path(GET path PARENT_PATH parent)
    if(NOT parent STREQUAL path)
      make_directories("${parent}")
    endif()
    file(MAKE_DIRECTORY "$ENV{DESTDIR}${path}")
    file(CHMOD "$ENV{DESTDIR}${path}" PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
         GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
  endif()
endfunction()

# place(SOURCE DIRECTORY NAME): variables in the source (@NAME@) are filled in.
string(RANDOM LENGTH 16 ours)  # several may install from one build directory at a time
set(scratch_dir "${TCIAFS_BUILD_DIR}/install-${ours}")
function(place source directory name)
  make_directories("${directory}")
  configure_file("${TCIAFS_PACKAGE_DIR}/${source}" "${scratch_dir}/${name}" @ONLY)
  file(INSTALL DESTINATION "${directory}" TYPE FILE FILES "${scratch_dir}/${name}")
  set(CMAKE_INSTALL_MANIFEST_FILES "${CMAKE_INSTALL_MANIFEST_FILES}" PARENT_SCOPE)
endfunction()

make_directories("${helper_dir}")
file(RELATIVE_PATH helper_target "${helper_dir}" "${TCIAFS_BIN}")
file(CREATE_LINK "${helper_target}" "$ENV{DESTDIR}${helper_dir}/mount.tciafs" SYMBOLIC)
list(APPEND CMAKE_INSTALL_MANIFEST_FILES "${helper_dir}/mount.tciafs")

foreach(directory bin share/man/man1 share/man/man5 share/man/man7 share/man/man8)
  make_directories("${prefix}/${directory}")
endforeach()
place(tciafs.bash "${prefix}/share/bash-completion/completions" tciafs)
place(tciafs.zsh "${zsh_dir}" _tciafs)
place(tciafs.fish "${prefix}/share/fish/vendor_completions.d" tciafs.fish)
place(tciafs@.service.in "${prefix}/lib/systemd/system" tciafs@.service)
place(tciafs.service.in "${prefix}/lib/systemd/user" tciafs.service)
place(plocate-updatedb.conf.in "${prefix}/lib/systemd/system/plocate-updatedb.service.d" tciafs.conf)
place(logrotate.conf "${etc}/logrotate.d" tciafs)
place(../../README.md "${prefix}/share/doc/tciafs" README.md)
place(containers.md "${prefix}/share/doc/tciafs" containers.md)
place(Dockerfile "${prefix}/share/doc/tciafs/examples" Dockerfile)
place(tciafs.conf "${prefix}/share/doc/tciafs/examples" tciafs.conf)
place(apparmor-fusermount3 "${prefix}/share/doc/tciafs/examples" apparmor-fusermount3)
file(REMOVE_RECURSE "${scratch_dir}")
