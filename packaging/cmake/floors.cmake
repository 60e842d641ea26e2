# qe_floor(name SUBFOLDERS a b FLOORS util model LIBRARIES ...): static library qe_<name> from src/<name>.
function(qe_floor name)
  cmake_parse_arguments(ARG "" "" "SUBFOLDERS;FLOORS;LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS src/${name}/*.c)
  foreach(folder IN LISTS ARG_SUBFOLDERS)
    file(GLOB more CONFIGURE_DEPENDS src/${name}/${folder}/*.c)
    list(APPEND sources ${more})
  endforeach()
  add_library(qe_${name} STATIC ${sources})
  target_include_directories(qe_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  foreach(floor IN LISTS ARG_FLOORS)
    target_link_libraries(qe_${name} PUBLIC qe_${floor})
  endforeach()
  # Only the floor itself sees its libraries' headers; programs link them through it.
  target_link_libraries(qe_${name} PRIVATE ${ARG_LIBRARIES})
endfunction()

# qe_program(name files...): an executable on top of the composition root.
function(qe_program name)
  file(GLOB sources CONFIGURE_DEPENDS ${ARGN})
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE qe_app)
  set(QE_PROGRAMS ${QE_PROGRAMS} ${name} PARENT_SCOPE)
endfunction()

# The version, git revision and its date, for --version, queue_exporter_build_info and the manual pages.
function(qe_revision target)
  execute_process(COMMAND git -C ${PROJECT_SOURCE_DIR} rev-parse --short=12 HEAD
    OUTPUT_VARIABLE revision OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(NOT revision)
    set(revision unknown)
  endif()
  execute_process(COMMAND git -C ${PROJECT_SOURCE_DIR} log -1 --format=%cs
    OUTPUT_VARIABLE date OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(NOT date)
    string(TIMESTAMP date "%Y-%m-%d" UTC) # SOURCE_DATE_EPOCH where that is set
  endif()
  # A commit without a new configuration would leave the old revision in the binary.
  if(EXISTS ${PROJECT_SOURCE_DIR}/.git/logs/HEAD)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/.git/logs/HEAD)
  endif()
  target_compile_definitions(${target} PRIVATE QE_VERSION="${PROJECT_VERSION}" QE_REVISION="${revision}"
    QE_DATE="${date}")
endfunction()
