target_sources(fuzz_trends PRIVATE ${PROJECT_SOURCE_DIR}/src/queuectl/trend.c)
target_link_libraries(fuzz_trends PRIVATE qe_net)
