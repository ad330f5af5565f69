# tciafs_layer(NAME DEPS layers... FOREIGN targets...): one static library per folder of src/.
#
# The libraries a layer names itself (FOREIGN) are linked PRIVATE: their headers do not reach the
# layers above. util is the exception: its headers use fmt and tl::expected.

add_library(tciafs_warnings INTERFACE)
target_compile_options(tciafs_warnings INTERFACE
  -Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wconversion
  -Wno-sign-conversion -Wcast-qual -Wformat=2 -Wswitch)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(tciafs_warnings INTERFACE -Wthread-safety)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 sees uninitialised members inside every tl::expected it inlines; clang checks this for us.
  target_compile_options(tciafs_warnings INTERFACE -Wno-maybe-uninitialized)
  # Where sources are compiled together it takes each of them for a header.
  if(CMAKE_UNITY_BUILD)
    add_compile_options(-Wno-subobject-linkage)
  endif()
endif()
if(TCIAFS_SANITIZE)
  # libFuzzer's main goes into the fuzz targets alone (tests/fuzz); all else is only watched by it.
  string(REGEX REPLACE "fuzzer(,|$)" "fuzzer-no-link\\1" sanitizers "${TCIAFS_SANITIZE}")
  # What UBSan reports ends the program, as it is with the others.
  add_compile_options(-fsanitize=${sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${sanitizers})
endif()

# The part of catalog that is pure names and paths, so that vfs can use it without the store.
function(tciafs_catalog_names_library)
  add_library(tciafs_catalog_names STATIC
    ${CMAKE_SOURCE_DIR}/src/catalog/names.cpp ${CMAKE_SOURCE_DIR}/src/catalog/object_path.cpp)
  target_include_directories(tciafs_catalog_names
    PUBLIC ${CMAKE_SOURCE_DIR}/include PRIVATE ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(tciafs_catalog_names PUBLIC tciafs_source PRIVATE tciafs_warnings)
endfunction()

function(tciafs_layer name)
  cmake_parse_arguments(LAYER "" "" "DEPS;FOREIGN" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cpp)
  if(NOT sources)
    return()
  endif()
  if(name STREQUAL "catalog")
    list(FILTER sources EXCLUDE REGEX "/(names|object_path)\\.cpp$")
  endif()
  add_library(tciafs_${name} STATIC ${sources})
  target_include_directories(tciafs_${name}
    PUBLIC ${CMAKE_SOURCE_DIR}/include PRIVATE ${CMAKE_SOURCE_DIR}/src)
  list(TRANSFORM LAYER_DEPS PREPEND tciafs_ OUTPUT_VARIABLE layer_targets)
  target_link_libraries(tciafs_${name} PRIVATE tciafs_warnings)
  if(name STREQUAL "util")
    target_link_libraries(tciafs_util PUBLIC ${LAYER_FOREIGN})
  else()
    target_link_libraries(tciafs_${name} PUBLIC tciafs_util PRIVATE ${LAYER_FOREIGN})
  endif()
  # vfs sees the layers below it only as seams: it must link without their libraries.
  if(name STREQUAL "vfs")
    target_link_libraries(tciafs_vfs PUBLIC tciafs_source tciafs_catalog_names)
  else()
    target_link_libraries(tciafs_${name} PUBLIC ${layer_targets})
  endif()
  if(name STREQUAL "catalog")
    target_link_libraries(tciafs_catalog PUBLIC tciafs_catalog_names)
  endif()
endfunction()
