# Writes a .cc with the given .sql files as EmbeddedMigrations().
#   cmake -DOUTPUT=x.cc "-DFILES=a.sql|b.sql" -P embed.cmake
string(REPLACE "|" ";" files "${FILES}")
set(code "// Generated from migrations/*.sql.\n#include \"services/memory_store/migrations.h\"\n
namespace dki::memory_store {\n
const std::vector<Migration>& EmbeddedMigrations() {
  static const auto* migrations = new std::vector<Migration>{\n")
foreach(path ${files})
  get_filename_component(name ${path} NAME)
  string(REGEX MATCH "^0*([1-9][0-9]*)_" unused ${name})
  set(number ${CMAKE_MATCH_1})
  file(READ ${path} sql)
  string(APPEND code "      {${number}, \"${name}\", R\"dki_sql(${sql})dki_sql\"},\n")
endforeach()
string(APPEND code "  };\n  return *migrations;\n}\n\n}  // namespace dki::memory_store\n")
file(WRITE ${OUTPUT} "${code}")
