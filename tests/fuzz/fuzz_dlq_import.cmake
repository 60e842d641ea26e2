target_sources(fuzz_dlq_import PRIVATE ${PROJECT_SOURCE_DIR}/src/queuectl/line.c)
target_link_libraries(fuzz_dlq_import PRIVATE qe_dlq)
