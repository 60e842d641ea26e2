target_link_libraries(${name} PRIVATE qe_consumer)
