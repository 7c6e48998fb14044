from django.urls import path

from tests.shelf import views

urlpatterns = [
    path("page/<subject>/", views.page),
    path("patient/<subject>/", views.patient),
    path("seen/", views.seen),
    path("raw/", views.raw),
    path("undone/<subject>/", views.undone),
    path("nest/<inner>/<subject>/", views.nest),
]

handler500 = "tests.shelf.views.broken"
