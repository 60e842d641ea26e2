# Warnings and hardening for every target of the project.
add_compile_definitions(_POSIX_C_SOURCE=200809L)
add_compile_options(
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wdouble-promotion -Wformat=2 -Wstrict-prototypes
  -Wmissing-prototypes -Wold-style-definition -Wcast-qual -Wpointer-arith -Wwrite-strings -Wundef -Wvla -Walloca
  -Wswitch-enum -Wnull-dereference -Wimplicit-fallthrough -Wunused-macros -Wframe-larger-than=16384)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-Wformat-signedness -Wduplicated-cond -Wduplicated-branches -Wlogical-op -Warith-conversion
    -Wjump-misses-init -Wcast-align=strict -Wstringop-overflow=4 -Walloc-zero)
elseif(CMAKE_C_COMPILER_ID MATCHES "Clang")
  add_compile_options(-Wcomma -Wunreachable-code -Wextra-semi-stmt -Wconditional-uninitialized)
endif()
if(QE_WERROR)
  add_compile_options(-Werror)
endif()

add_compile_options(-fno-omit-frame-pointer -fstack-protector-strong -fstack-clash-protection)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  add_compile_options(-fcf-protection)
endif()
add_link_options(-Wl,-z,relro,-z,now)
include(CheckPIESupported)
check_pie_supported()

if(QE_SANITIZE)
  add_compile_options(-fsanitize=${QE_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${QE_SANITIZE})
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
