# pith_embed_model(NAME MODEL file [OPTIONS ...]): a library NAME with the compiled model in it, for a target of the
# same folder. Its code includes "NAME.h" and loads &NAME with pith_module_load_embedded. OPTIONS go to `pith compile`.
function(pith_embed_model name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "MODEL" "OPTIONS")
  get_filename_component(model ${ARG_MODEL} ABSOLUTE)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.o)
  set(header ${CMAKE_CURRENT_BINARY_DIR}/${name}.h)
  add_custom_command(OUTPUT ${object} ${header}
    COMMAND Pith::pith compile ${model} --emit=obj --symbol=${name} -o ${object} ${ARG_OPTIONS}
    DEPENDS ${model} VERBATIM)
  set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
  add_library(${name} INTERFACE)
  target_sources(${name} INTERFACE ${object} ${header})
  target_link_libraries(${name} INTERFACE m)
  target_include_directories(${name} INTERFACE ${CMAKE_CURRENT_BINARY_DIR})
endfunction()
