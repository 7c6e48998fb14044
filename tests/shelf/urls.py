from django.urls import path

from tests.shelf import views

urlpatterns = [
    path("page/<subject>/", views.page),
    path("patient/<subject>/", views.patient),
    path("nest/<inner>/<subject>/", views.nest),
]

handler500 = "tests.shelf.views.broken"
