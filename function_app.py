"""Every function of the app."""

import azure.functions as func

from shared.routes import background, change_feed, operations, query_tags, rendered, retrieve, studies, system, wado

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
app.register_functions(studies.blueprint)
app.register_functions(retrieve.blueprint)
app.register_functions(rendered.blueprint)
app.register_functions(wado.blueprint)
app.register_functions(change_feed.blueprint)
app.register_functions(query_tags.blueprint)
app.register_functions(operations.blueprint)
app.register_functions(system.blueprint)
app.register_functions(background.blueprint)
